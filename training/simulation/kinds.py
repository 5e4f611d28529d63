"""The kinds of work there are, and the words tasks of each are written in. Brands are invented from syllables."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    Attributes:
        name: the category of its tasks.
        skills: what its tasks ask for.
        minutes: median typical duration, minutes.
        difficulty: skill (0..1) that a middling task needs.
        devices: what its tasks may be done on; empty for anything.
        titles: language -> templates of titles.
        descriptions: language -> templates of descriptions.
    """

    name: str
    skills: tuple[str, ...]
    minutes: float
    difficulty: float
    devices: tuple[str, ...]
    titles: dict[str, tuple[str, ...]]
    descriptions: dict[str, tuple[str, ...]]


KINDS: tuple[Kind, ...] = (
    Kind(
        "reviews",
        ("copywriting", "product review", "proofreading", "storytelling"),
        8.0,
        0.45,
        (),
        {
            "en": (
                "Write an honest review of {brand} {topic}",
                "{n} sentences about your experience with {brand}",
                "Review a {topic} app by {brand}",
                "Tell us what you think of the {topic} shop {brand}",
                "Short product review: {brand} {topic}",
            ),
            "id": (
                "Tulis ulasan jujur tentang {topic} {brand}",
                "Ulasan {n} kalimat untuk {brand}",
                "Ceritakan pengalaman Anda dengan {brand} ({topic})",
                "Tulis testimoni aplikasi {topic} {brand}",
                "Nilai toko {topic} {brand} di {place}",
            ),
        },
        {
            "en": (
                "Read the product page of {brand}, then write at least {n} sentences in your own words. Copied text is "
                "not accepted.",
                "Try the free version for a few minutes and describe two things you liked and one you would change.",
            ),
            "id": (
                "Baca halaman produk {brand}, lalu tulis minimal {n} kalimat dengan kata sendiri. Jangan menyalin.",
                "Coba versi gratisnya, lalu sebutkan dua hal yang disukai dan satu yang perlu diperbaiki.",
            ),
        },
    ),
    Kind(
        "surveys",
        ("survey taking", "opinion giving", "diary keeping", "interviewing"),
        10.0,
        0.25,
        (),
        {
            "en": (
                "Survey about {topic}: {n} questions",
                "Your opinion on {topic} in {place}",
                "{brand} study on {topic} habits",
                "Academic questionnaire: {topic} and daily life",
                "Quick poll on {topic} ({n} items)",
            ),
            "id": (
                "Survei tentang {topic}: {n} pertanyaan",
                "Pendapat Anda soal {topic} di {place}",
                "Kuesioner {brand}: kebiasaan {topic}",
                "Penelitian mahasiswa tentang {topic}",
                "Jajak pendapat singkat {topic} ({n} butir)",
            ),
        },
        {
            "en": (
                "Answer {n} questions about {topic}. There are attention checks. No personal data is stored.",
                "A study of how people in {place} decide about {topic}. Please answer in one sitting.",
            ),
            "id": (
                "Jawab {n} pertanyaan tentang {topic}. Ada pertanyaan pengecekan. Data pribadi tidak disimpan.",
                "Penelitian tentang cara warga {place} memilih {topic}. Mohon diisi sekali duduk.",
            ),
        },
    ),
    Kind(
        "testing",
        ("mobile app testing", "web testing", "bug reporting", "usability testing"),
        22.0,
        0.55,
        ("mobile", "desktop"),
        {
            "en": (
                "Test the checkout of {brand} ({topic})",
                "Find bugs in the {topic} app {brand}",
                "Usability test: sign up at {brand}",
                "Try {n} screens of a {topic} app and report problems",
                "Install {brand} beta and follow {n} steps",
            ),
            "id": (
                "Uji proses pembayaran {brand} ({topic})",
                "Cari bug di aplikasi {topic} {brand}",
                "Uji kemudahan pakai: daftar di {brand}",
                "Coba {n} layar aplikasi {topic} dan laporkan masalah",
                "Pasang {brand} versi beta dan ikuti {n} langkah",
            ),
        },
        {
            "en": (
                "Follow the {n} steps in the test plan, take a screenshot of each and describe what you expected.",
                "Record your screen while you use {brand}. Say aloud what confuses you.",
            ),
            "id": (
                "Ikuti {n} langkah uji, ambil tangkapan layar tiap langkah dan tuliskan apa yang seharusnya terjadi.",
                "Rekam layar saat memakai {brand}. Ucapkan apa yang membingungkan.",
            ),
        },
    ),
    Kind(
        "data entry",
        ("typing", "spreadsheets", "transcription", "web research"),
        14.0,
        0.35,
        ("desktop",),
        {
            "en": (
                "Copy {n} {topic} receipts into a table",
                "Transcribe {n} minutes of audio about {topic}",
                "Collect the addresses of {n} {topic} shops in {place}",
                "Clean up a price list of {brand}",
                "Match {n} {topic} products with their pictures",
            ),
            "id": (
                "Salin {n} struk {topic} ke tabel",
                "Transkrip audio {n} menit tentang {topic}",
                "Kumpulkan alamat {n} toko {topic} di {place}",
                "Rapikan daftar harga {brand}",
                "Cocokkan {n} produk {topic} dengan gambarnya",
            ),
        },
        {
            "en": (
                "Type exactly what you see. Leave a field empty if it cannot be read. {n} rows in all.",
                "Search the web for each entry and paste the source. Two wrong rows are tolerated.",
            ),
            "id": (
                "Ketik persis seperti yang terlihat. Kosongkan bila tidak terbaca. Semuanya {n} baris.",
                "Cari tiap entri di internet dan tempel sumbernya. Paling banyak dua baris salah.",
            ),
        },
    ),
    Kind(
        "image editing",
        ("background removal", "retouching", "image annotation", "banner design"),
        28.0,
        0.6,
        ("desktop",),
        {
            "en": (
                "Remove the background of {n} {topic} photos",
                "Retouch {n} pictures for {brand}",
                "Draw boxes around {topic} in {n} images",
                "A simple banner for {brand} ({topic})",
                "Resize and label {n} {topic} pictures",
            ),
            "id": (
                "Hapus latar belakang {n} foto {topic}",
                "Perbaiki {n} gambar untuk {brand}",
                "Tandai {topic} pada {n} gambar",
                "Buat banner sederhana untuk {brand} ({topic})",
                "Ubah ukuran dan beri label {n} gambar {topic}",
            ),
        },
        {
            "en": (
                "Deliver PNG files with clean edges at the original size. A sample is attached.",
                "Every object of the class must have a tight box. {n} images in this part.",
            ),
            "id": (
                "Kirim berkas PNG dengan tepi rapi, ukuran asli. Contoh terlampir.",
                "Setiap objek harus diberi kotak yang pas. Bagian ini berisi {n} gambar.",
            ),
        },
    ),
    Kind(
        "social media",
        ("community posting", "short video", "captions", "moderation"),
        5.0,
        0.3,
        ("mobile",),
        {
            "en": (
                "Post about {brand} and share the link",
                "Write {n} captions for {topic} pictures",
                "A {n} second video with your view on {topic}",
                "Moderate {n} comments in a {topic} group",
                "Answer {n} questions in the {brand} community",
            ),
            "id": (
                "Unggah tentang {brand} dan kirim tautannya",
                "Tulis {n} takarir untuk foto {topic}",
                "Video {n} detik tentang {topic} menurut Anda",
                "Moderasi {n} komentar di grup {topic}",
                "Jawab {n} pertanyaan di komunitas {brand}",
            ),
        },
        {
            "en": (
                "The post must stay public for a week and say that it is sponsored.",
                "Use a friendly tone, no insults and no politics. Send {n} lines.",
            ),
            "id": (
                "Unggahan harus publik selama seminggu dan menyebut bahwa ini bersponsor.",
                "Gunakan bahasa ramah, tanpa hinaan dan politik. Kirim {n} baris.",
            ),
        },
    ),
)

SKILLS: tuple[str, ...] = tuple(skill for kind in KINDS for skill in kind.skills)
SKILLS_EACH = len(KINDS[0].skills)

TOPICS: tuple[dict[str, str], ...] = (
    {"en": "food", "id": "makanan"},
    {"en": "games", "id": "gim"},
    {"en": "savings", "id": "tabungan"},
    {"en": "fashion", "id": "busana"},
    {"en": "travel", "id": "wisata"},
    {"en": "health", "id": "kesehatan"},
    {"en": "education", "id": "pendidikan"},
    {"en": "household", "id": "rumah tangga"},
    {"en": "music", "id": "musik"},
    {"en": "farming", "id": "pertanian"},
)

PLACES = ("Jakarta", "Bandung", "Surabaya", "Medan", "Makassar", "Denpasar", "Manila", "Nairobi", "Pune")

_SYLLABLES = ("vo", "zu", "qi", "xa", "jo", "ry", "ke", "lu", "mba", "nti", "pra", "sko", "wi", "dza", "fe", "gho")


def brand(rng: np.random.Generator) -> str:
    """Return an invented name of three syllables and an ending."""
    picked = rng.choice(len(_SYLLABLES), 3, replace=False)
    return ("".join(_SYLLABLES[place] for place in picked) + ("", "x", "nq")[rng.integers(3)]).capitalize()


@dataclass(frozen=True)
class Wording:
    """The words of a batch: `title` and `description` are the same in all its tasks but for the part."""

    title: str
    description: str
    keywords: tuple[str, ...]


def write(rng: np.random.Generator, kind: Kind, language: str, topic: int, brand_name: str) -> Wording:
    """Return the words of a batch of tasks.

    Args:
        rng: picks templates and numbers.
        kind: the kind of work.
        language: ``en`` or ``id``.
        topic: index into ``TOPICS``.
        brand_name: who it is for.
    """
    words = {
        "brand": brand_name,
        "topic": TOPICS[topic][language],
        "n": str(rng.choice((3, 5, 8, 10, 12, 15, 20, 25, 30, 50))),
        "place": PLACES[rng.integers(len(PLACES))],
    }
    titles, descriptions = kind.titles[language], kind.descriptions[language]
    return Wording(
        titles[rng.integers(len(titles))].format(**words),
        descriptions[rng.integers(len(descriptions))].format(**words),
        (words["topic"], brand_name.lower()),
    )


def part(language: str, number: int, of: int) -> str:
    """Return what tells the tasks of a batch apart in their titles."""
    return "" if of == 1 else f" ({'bagian' if language == 'id' else 'part'} {number}/{of})"

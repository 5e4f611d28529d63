"""What is known of the market: domain, events, state, and the one place where a row of features is computed."""

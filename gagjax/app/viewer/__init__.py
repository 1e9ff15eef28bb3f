"""`gagjax view`: the session that is shown, and the web page that shows it."""

"""A record played like a bedside monitor: `stream` classifies as samples come, `server` shows it in a browser,
`widget` in a notebook."""

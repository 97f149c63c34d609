"""Images by URL: the stage `fetch`, and what it asks, refuses and remembers."""

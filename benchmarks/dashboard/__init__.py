"""Pictures and figures of the dashboard, in a real headless Chromium."""

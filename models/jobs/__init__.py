"""A tuning job from queued to done."""

"""What jobs came to: side by side, by what mattered, and in pictures."""

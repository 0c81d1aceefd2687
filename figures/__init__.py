"""The book's numbered figures and tables, one module each; ``data/`` holds what they show."""

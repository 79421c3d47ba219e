"""HTTP requests to addresses that users name: which of them may be reached, and one exchange with one of them."""

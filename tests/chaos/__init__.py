"""Messages on a real Redis, moved by real processes while these, or Redis, are killed; and what must hold then."""

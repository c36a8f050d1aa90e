"""What people are asked, and what they said."""

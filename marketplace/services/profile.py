"""What an account says about its owner."""

from marketplace.models import User


def profile_set(*, user: User, full_name: str) -> None:
    """Change the name that the account shows."""
    user.full_name = full_name
    user.save(update_fields=["full_name"])

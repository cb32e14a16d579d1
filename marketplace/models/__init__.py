from marketplace.models.user import User

__all__ = ["User"]

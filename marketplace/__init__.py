"""Renters: accounts, keys, search, offers, instances; also the Django project itself."""

from marketplace.celery import app as celery_app

__all__ = ["celery_app"]

from waffle.models import Flag


class Feature(Flag):
    """A part of the service that staff can switch (marketplace.domain.features)."""

    class Meta:
        proxy = True
        verbose_name = "feature"

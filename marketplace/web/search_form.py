"""The filters of the search page, and the query object that they make."""

from collections.abc import Iterable
from typing import Any

from django import forms

from dlperf.domain.mixes import IMAGES, Adaptation
from hosting.domain.sandboxes import TITLES
from hosting.web.fields import DollarsField
from marketplace.domain.query_adaptation import MOST_IMAGE_CHARS
from marketplace.domain.templates import TemplateContent
from marketplace.models import Instance

DEFAULT_DISK_GB = 10
PAGE_SIZE = 40
MOST_SHOWN = 400
INTERRUPTIBLE = Instance.RentalType.INTERRUPTIBLE.value
TYPES = [("", "On demand"), (INTERRUPTIBLE, "Interruptible")]
SORTS: dict[str, tuple[str, tuple[str, str]]] = {
    "": ("Best value (auto)", ("score", "desc")),
    "price": ("Price", ("dph_total", "asc")),
    "dlperf": ("DLPerf", ("dlperf", "desc")),
    "dlperf_usd": ("DLPerf per dollar", ("dlperf_per_dphtotal", "desc")),
    "vram": ("GPU memory", ("gpu_total_ram", "desc")),
    "reliability": ("Reliability", ("reliability", "desc")),
}
DEFAULT_IMAGE = "pytorch"
_PRECISIONS = [
    ("", "Balanced"),
    ("fp32", "FP32, TF32"),
    ("fp16", "FP16, mixed precision"),
    ("bf16", "BF16, mixed precision"),
    ("int8", "INT8"),
]
_IMAGES = [("" if key == DEFAULT_IMAGE else key, image.title) for key, image in IMAGES.items()]
_RELIABILITIES = [("", "Any"), ("0.9", "90% or better"), ("0.95", "95% or better"), ("0.99", "99% or better")]
_SANDBOXES = [("", "Any or none"), ("yes", "Any sandbox"), *TITLES.items()]
_GPU_COUNTS = [("", "Any"), *((str(n), f"{n}\N{MULTIPLICATION SIGN}") for n in (1, 2, 4, 8)), ("9+", "9+")]


def _number(label: str, **options: Any) -> forms.FloatField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": "Any"})
    return forms.FloatField(label=label, required=False, min_value=0, max_value=10**9, widget=widget, **options)


class SearchForm(forms.Form):
    """Every field may be left out; the address of the page holds those that are not."""

    type = forms.ChoiceField(label="Rental type", required=False, choices=TYPES)
    gpu = forms.ChoiceField(label="GPU model", required=False)
    gpus = forms.ChoiceField(label="Number of GPUs", required=False, choices=_GPU_COUNTS)
    price_max = DollarsField(label="Price at most", required=False)
    disk = forms.IntegerField(label="Disk", required=False, min_value=1, max_value=1_000_000)
    vram_min = _number("GPU memory at least")
    dlperf_min = _number("DLPerf at least")
    precision = forms.ChoiceField(label="DLPerf for", required=False, choices=_PRECISIONS)
    adapt = forms.BooleanField(label="Adapt DLPerf to my image", required=False)
    image = forms.ChoiceField(label="Image", required=False, choices=_IMAGES)
    reliability_min = forms.ChoiceField(label="Reliability", required=False, choices=_RELIABILITIES)
    country = forms.ChoiceField(label="Country", required=False)
    sandbox = forms.ChoiceField(label="Sandbox", required=False, choices=_SANDBOXES)
    verified = forms.BooleanField(label="Verified machines only", required=False)
    unavailable = forms.BooleanField(label="Include unavailable offers", required=False)
    sort = forms.ChoiceField(label="Sort by", required=False, choices=[(key, text) for key, (text, _) in SORTS.items()])
    template = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    template_off = forms.BooleanField(label="Ignore what the template asks for", required=False)
    limit = forms.IntegerField(required=False, min_value=1, max_value=MOST_SHOWN, widget=forms.HiddenInput)

    def __init__(
        self,
        data: Any,
        *,
        gpu_counts: Iterable[tuple[str, int]],
        country_counts: Iterable[tuple[str, int]],
        chosen: TemplateContent | None = None,
    ) -> None:
        super().__init__(data)
        self._chosen = chosen
        self._choices("gpu", "Any GPU", gpu_counts)
        self._choices("country", "Anywhere", country_counts)

    def _choices(self, name: str, anything: str, counts: Iterable[tuple[str, int]]) -> None:
        """Known values with how many offers there are; a bookmarked one that has none now stays choosable."""
        known = list(counts)
        asked = self.data.get(name, "")[:80]
        if asked and asked not in dict(known):
            known.append((asked, 0))
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  # narrows the type; both are declared above
        field.choices = [("", anything), *((value, f"{value} ({count})") for value, count in known)]

    def is_interruptible(self) -> bool:
        """Whether prices are those of the lowest bids; what makes no sense is no reason to offer anything else."""
        return bool(self.data.get("type"))

    def limit_shown(self) -> int:
        """How many offers the page shows."""
        return self.cleaned_data["limit"] or PAGE_SIZE

    def disk_gb(self) -> int:
        """The disk that prices include."""
        recommended = self._chosen.disk_gb if self._chosen else DEFAULT_DISK_GB
        return self.cleaned_data["disk"] or recommended

    def template_filters(self) -> dict[str, Any]:
        """The query object of the template, unless it is not to count."""
        if self._chosen is None or self.cleaned_data["template_off"]:
            return {}
        return self._chosen.extra_filters

    def query(self) -> dict[str, Any]:
        """The query object, as an API client would send it; one more offer than is shown tells that there are more."""
        data = self.cleaned_data
        query: dict[str, Any] = {
            "order": [list(SORTS[data["sort"]][1])],
            "limit": self.limit_shown() + 1,
            "allocated_storage": self.disk_gb(),
        }
        query |= _choices_query(data) | _bounds_query(data) | _adaptation_query(data)
        if self._chosen and not (data["precision"] or data["adapt"]):
            query["dlperf_image"] = self._chosen.full_image[:MOST_IMAGE_CHARS]
        if data["type"]:
            query["type"] = "bid"
        if data["unavailable"]:
            query["rentable"] = {"eq": "any"}
        if data["verified"]:
            query["verified"] = {"eq": True}
        return query


def _choices_query(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if data["gpu"]:
        found["gpu_name"] = {"eq": data["gpu"]}
    if data["country"]:
        found["geolocation"] = {"eq": data["country"]}
    if data["sandbox"]:
        found["sandbox"] = {"neq": None} if data["sandbox"] == "yes" else {"eq": data["sandbox"]}
    if data["gpus"]:
        found["num_gpus"] = {"gte": 9} if data["gpus"] == "9+" else {"eq": data["gpus"]}
    return found


def _adaptation_query(data: dict[str, Any]) -> dict[str, Any]:
    """What DLPerf is to stand for: the image counts once its box is ticked, and a precision before it."""
    found: dict[str, Any] = {}
    if data["precision"]:
        found["dlperf_precision"] = data["precision"]
    if data["adapt"]:
        found["dlperf_image"] = data["image"] or DEFAULT_IMAGE
    return found


def _bounds_query(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if data["price_max"] is not None:
        found["dph_total"] = {"lte": data["price_max"] / 1_000_000}
    if data["vram_min"] is not None:
        found["gpu_ram"] = {"gte": data["vram_min"] * 1000}  # a "24 GB" card has a little less than 24 x 1024 MB
    if data["dlperf_min"] is not None:
        found["dlperf"] = {"gte": data["dlperf_min"]}
    if data["reliability_min"]:
        found["reliability"] = {"gte": data["reliability_min"]}
    return found


def adaptation_words(adaptation: Adaptation) -> str:
    """What DLPerf was adapted to, as the page says it; empty where it was not."""
    if adaptation.precision:
        return dict(_PRECISIONS)[adaptation.precision]
    return IMAGES[adaptation.family].title if adaptation.family else ""

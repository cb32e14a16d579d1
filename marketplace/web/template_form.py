"""The form of a template. Field names are those of its content, so refusals of the service find their field."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from hosting.domain.registries import registry_name
from hosting.web.fields import CommandField
from marketplace.domain.query_text import conditions_of_query, query_of_text
from marketplace.domain.templates import DEFAULT_DISK_GB, TemplateContent
from marketplace.errors import MarketError
from marketplace.web.rent_form import DirectoryField, EnvironmentField, JupyterField, PortsField, ports_text

MODES = [("ssh", "SSH"), ("jupyter", "Jupyter"), ("args", "Custom command")]
_FRESH = {"runtype": "ssh", "use_jupyter_lab": True}
_TEXT = {"autocomplete": "off", "spellcheck": "false"}


class FiltersField(forms.CharField):
    """Conditions of a search, one a line, in the browser; a query object in Python."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(conditions_of_query(value)) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        try:
            return query_of_text(super().to_python(value) or "")
        except MarketError as refusal:
            raise ValidationError(refusal.message) from refusal


class TemplateForm(forms.Form):
    """A whole template."""

    name = forms.CharField(label="Name", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    desc = forms.CharField(label="Description", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    image = forms.CharField(
        label="Image", required=False, widget=forms.TextInput(attrs=_TEXT | {"placeholder": "pytorch/pytorch"})
    )
    tag = forms.CharField(label="Tag", required=False, widget=forms.TextInput(attrs=_TEXT | {"placeholder": "latest"}))
    docker_login_repo = forms.CharField(
        label="Private registry", required=False, widget=forms.TextInput(attrs=_TEXT | {"placeholder": "docker.io"})
    )
    runtype = forms.ChoiceField(label="Launch mode", choices=MODES, widget=forms.RadioSelect)
    use_jupyter_lab = JupyterField()
    jupyter_dir = DirectoryField()
    args = CommandField(label="Command and arguments", required=False, widget=forms.TextInput(attrs=_TEXT))
    entrypoint = forms.CharField(label="Entrypoint", required=False, widget=forms.TextInput(attrs=_TEXT))
    env = EnvironmentField(label="Environment", required=False)
    ports = PortsField(
        label="Ports to open", required=False, widget=forms.TextInput(attrs=_TEXT | {"placeholder": "8080, 5000/udp"})
    )
    onstart = forms.CharField(
        label="On-start script",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    disk_gb = forms.IntegerField(label="Disk", initial=DEFAULT_DISK_GB)
    extra_filters = FiltersField(
        label="Search filters",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "gpu_ram_GB >= 24"}),
    )
    href = forms.CharField(label="Link", required=False, widget=forms.TextInput(attrs=_TEXT))
    repo = forms.CharField(label="Repository", required=False, widget=forms.TextInput(attrs=_TEXT))
    readme = forms.CharField(label="Readme", required=False, strip=False, widget=forms.Textarea(attrs={"rows": 8}))
    public = forms.BooleanField(label="Public: everybody may see it and rent with it", required=False)

    def __init__(self, data: Any = None, *, before: TemplateContent | None = None, public: bool = False) -> None:
        self._before = before
        super().__init__(data, initial=_initial(before, public=public) if before else _FRESH)

    def env_rows(self) -> list[tuple[str, str]]:
        """The rows as typed, for drawing them again."""
        value = self["env"].value()
        return list(value) if value else []

    def content(self) -> TemplateContent:
        """What the fields say; what the form does not show stays as it was."""
        data = self.cleaned_data
        is_args, is_jupyter = data["runtype"] == "args", data["runtype"] == "jupyter"
        kept = self._before.document() if self._before is not None else {}
        said = {
            **{name: data[name].strip() for name in ("name", "desc", "image", "tag")},
            "docker_login_repo": registry_name(data["docker_login_repo"]) if data["docker_login_repo"].strip() else "",
            "href": data["href"].strip(),
            "repo": data["repo"].strip(),
            "runtype": data["runtype"],
            "use_jupyter_lab": is_jupyter and data["use_jupyter_lab"],
            "jupyter_dir": data["jupyter_dir"].strip() if is_jupyter else "",
            "args": data["args"] if is_args else (),
            "entrypoint": data["entrypoint"].strip() if is_args else "",
            "env": data["env"],
            "ports": data["ports"],
            "onstart": "" if is_args else data["onstart"].replace("\r\n", "\n"),
            "disk_gb": data["disk_gb"],
            "extra_filters": data["extra_filters"],
            "readme": data["readme"].replace("\r\n", "\n"),
        }
        return TemplateContent(**(kept | said))


def _initial(content: TemplateContent, *, public: bool) -> dict[str, Any]:
    return content.document() | {
        "args": content.args,
        "env": list(content.env.items()),
        "ports": ports_text(content.ports),
        "public": public,
    }

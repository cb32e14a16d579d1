"""What clients fill in about money."""

from typing import Any
from uuid import uuid4

from django import forms

from billing.domain.errors import InvalidAmountError
from billing.domain.money import exact_dollars, parse_dollars
from billing.models import AutoBilling


class DollarsField(forms.CharField):
    """An amount in dollars, typed with or without the sign; its value is micro-dollars."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=30, widget=widget, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip().removeprefix("$").replace(",", "")
        try:
            return parse_dollars(text)
        except InvalidAmountError as error:
            raise forms.ValidationError(error.message) from error

    def prepare_value(self, value: Any) -> Any:
        return exact_dollars(value).removesuffix(".00") if isinstance(value, int) else value


class BuyForm(forms.Form):
    """How much credit to buy. The hidden key makes a doubled submit one payment."""

    amount = DollarsField(label="Amount")
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)


class AutoBillingForm(forms.Form):
    """When to charge the card by itself, and how much."""

    enabled = forms.BooleanField(label="Charge my card when my credit runs low", required=False)
    threshold = DollarsField(label="When the credit falls below")
    mode = forms.ChoiceField(label="Charge", choices=AutoBilling.Mode.choices)
    amount = DollarsField(label="Amount, or the balance to reach")

    @classmethod
    def of(cls, terms: AutoBilling) -> "AutoBillingForm":
        """The form with what was agreed to."""
        return cls(
            initial={
                "enabled": terms.enabled,
                "threshold": terms.threshold_micros,
                "mode": terms.mode,
                "amount": terms.amount_micros,
            }
        )

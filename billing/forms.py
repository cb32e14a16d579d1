"""The admin's forms for moving money by hand."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.domain.adjustments import ADJUSTMENT, USAGE_REFUND
from billing.domain.errors import InvalidAmountError
from billing.domain.money import check_positive_amount, parse_dollars
from billing.models import AccountKind, AdjustmentRequest, CreditGrant, PaymentRefund
from billing.services.alone import alone_sentence


class CreditGrantForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Who gets how much, and why. The hidden key makes a doubled submit give the credit once."""

    account = forms.CharField(label="Account's e-mail", widget=UnfoldAdminTextInputWidget())
    amount = forms.CharField(label="Amount in dollars", widget=UnfoldAdminTextInputWidget())
    reason = forms.CharField(
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="The client sees it on the statement.",
    )
    key = forms.CharField(max_length=100, widget=forms.HiddenInput(), initial=uuid4)

    class Meta:
        model = CreditGrant
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].help_text = alone_sentence()

    def clean_account(self) -> AbstractBaseUser:
        return _account(self.cleaned_data["account"])

    def clean_amount(self) -> int:
        """The amount in micro-dollars."""
        return _positive_micros(self.cleaned_data["amount"])


class PaymentRefundForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """What goes back to the card of a payment, and why. The hidden key makes a doubled submit one refund.

    Its fields have other names than the model's: Django would check an empty row under those.
    """

    payment_number = forms.IntegerField(min_value=1, widget=UnfoldAdminTextInputWidget())
    amount = forms.CharField(label="Amount in dollars", widget=UnfoldAdminTextInputWidget())
    why = forms.CharField(
        label="Reason",
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="The client sees it on the statement. Its credit becomes less by the amount, a debt if need be.",
    )
    form_key = forms.UUIDField(widget=forms.HiddenInput(), initial=uuid4)

    class Meta:
        model = PaymentRefund
        fields: list[str] = []

    def clean_amount(self) -> int:
        """The amount in micro-dollars."""
        return _positive_micros(self.cleaned_data["amount"])


def _positive_micros(text: str) -> int:
    try:
        micros = parse_dollars(text)
        check_positive_amount(micros)
    except InvalidAmountError as error:
        raise forms.ValidationError(error.message) from error
    return micros


class AdjustmentForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Whose account is to be changed by how much, and why. The hidden key makes a doubled submit ask once."""

    kind = forms.ChoiceField(
        choices=[(kind, kind.replace("_", " ").capitalize()) for kind in (ADJUSTMENT, USAGE_REFUND)],
        widget=UnfoldAdminSelectWidget(),
    )
    owner = forms.CharField(label="Account's e-mail", widget=UnfoldAdminTextInputWidget())
    account_kind = forms.ChoiceField(
        label="Which account",
        choices=[(kind.value, kind.label) for kind in (AccountKind.CLIENT_CREDIT, AccountKind.HOST_EARNINGS)],
        widget=UnfoldAdminSelectWidget(),
    )
    amount = forms.CharField(
        label="Amount in dollars",
        widget=UnfoldAdminTextInputWidget(),
        help_text="In favour of the account's owner; an adjustment may be negative.",
    )
    reason = forms.CharField(
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="The owner sees it on the statement.",
    )
    key = forms.UUIDField(widget=forms.HiddenInput(), initial=uuid4)

    class Meta:
        model = AdjustmentRequest
        fields: list[str] = []

    def _post_clean(self) -> None:
        """The row is the service's to fill and to check."""

    def clean_owner(self) -> AbstractBaseUser:
        return _account(self.cleaned_data["owner"])

    def clean_amount(self) -> int:
        """The amount in micro-dollars."""
        try:
            micros = parse_dollars(self.cleaned_data["amount"])
            check_positive_amount(abs(micros))
        except InvalidAmountError as error:
            raise forms.ValidationError(error.message) from error
        return micros


def _account(email: str) -> AbstractBaseUser:
    accounts: Any = get_user_model()._default_manager
    try:
        user: AbstractBaseUser = accounts.get_by_natural_key(email.strip().lower())
    except get_user_model().DoesNotExist as error:
        raise forms.ValidationError("There is no account with this e-mail address.") from error
    return user

"""The admin's form for giving credit."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.domain.errors import InvalidAmountError
from billing.domain.money import check_positive_amount, parse_dollars
from billing.models import CreditGrant


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

    def clean_account(self) -> AbstractBaseUser:
        accounts: Any = get_user_model()._default_manager
        try:
            user: AbstractBaseUser = accounts.get_by_natural_key(self.cleaned_data["account"].strip().lower())
        except get_user_model().DoesNotExist as error:
            raise forms.ValidationError("There is no account with this e-mail address.") from error
        return user

    def clean_amount(self) -> int:
        """The amount in micro-dollars."""
        try:
            micros = parse_dollars(self.cleaned_data["amount"])
            check_positive_amount(micros)
        except InvalidAmountError as error:
            raise forms.ValidationError(error.message) from error
        return micros

"""Pages about money."""

from django.urls import path

from billing.web import payment, statements, views, webhooks

urlpatterns = [
    path("billing/", views.billing, name="billing"),
    path("billing/balance/", views.balance, name="billing_balance"),
    path("billing/summary/", views.summary, name="billing_summary"),
    path("billing/statement/", views.statement, name="billing_statement"),
    path("billing/charges.csv", views.charges_csv, name="billing_charges_csv"),
    path("billing/statements/", statements.statements, name="billing_statements"),
    path("billing/statements/<str:month>.pdf", statements.statement_pdf, name="billing_month_pdf"),
    path("billing/statements/<str:month>/", statements.statement, name="billing_month"),
    path("billing/payment/", payment.payment, name="billing_payment"),
    path("billing/payment/rows/", payment.rows, name="billing_payment_rows"),
    path("billing/payment/buy/", payment.buy, name="billing_payment_buy"),
    path("billing/payment/returned/", payment.returned, name="billing_payment_returned"),
    path("billing/payment/auto/", payment.auto_billing, name="billing_auto"),
    path("billing/payment/cards/add/", payment.card_add, name="billing_card_add"),
    path("billing/payment/cards/<int:card_id>/remove/", payment.card_remove, name="billing_card_remove"),
    path("billing/payment/cards/<int:card_id>/default/", payment.card_default, name="billing_card_default"),
    path("billing/payment/<int:payment_id>/confirm/", payment.confirm, name="billing_payment_confirm"),
    path("billing/payment/<int:payment_id>/receipt.pdf", payment.receipt, name="billing_receipt"),
    path("webhooks/stripe/", webhooks.stripe, name="webhook_stripe"),
]

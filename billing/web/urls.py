"""Pages about money."""

from django.urls import path

from billing.web import views

urlpatterns = [
    path("billing/", views.billing, name="billing"),
    path("billing/balance/", views.balance, name="billing_balance"),
    path("billing/summary/", views.summary, name="billing_summary"),
    path("billing/statement/", views.statement, name="billing_statement"),
]

"""The API's documentation page works in a browser under our content security policy."""

import pytest
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_documentation_page_shows_the_operations(live_server: LiveServer, page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{live_server.url}/api/docs/")
    page.get_by_text("Rent an offer").wait_for()
    assert page.locator(".opblock").count() > 20
    assert [text for text in said if "Content Security Policy" in text] == []

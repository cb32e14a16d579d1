"""Pages: forms and views that translate between the browser and the services."""

"""What tests stand on: test servers, real processes of the product, the Docker engine, Chromium."""

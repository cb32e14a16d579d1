"""What the project's commands run on: bootstrap, embedded servers, the Docker engine, the demo, the tests."""

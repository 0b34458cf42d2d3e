"""A shop in FastAPI, on SQLAlchemy: an order is stored together with its receipt's job."""

"""A shop in Django: an order is stored together with the job that sends its receipt."""

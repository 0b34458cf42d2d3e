"""A shop in Flask, on psycopg: an order is stored together with the job that sends its receipt."""

"""The tables of the shop, and sessions on them."""

from __future__ import annotations

import os
from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

url = make_url(os.environ["DATABASE_URL"])
engine = create_engine(url.set(drivername="postgresql+psycopg"))
sessions = sessionmaker(engine)


class Base(DeclarativeBase):
    """What all tables have in common."""


class Item(Base):
    """Something to be had, as long as there is some left."""

    __tablename__ = "items"

    name: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Order(Base):
    """What somebody wants."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(ForeignKey("items.name"))
    receipt_sent: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def main() -> None:
    """Make the tables, where they are not there yet."""
    Base.metadata.create_all(engine)
    with sessions.begin() as session:
        for name, stock in (("a book", 1000), ("a lamp", 1)):
            if session.get(Item, name) is None:
                session.add(Item(name=name, stock=stock))


if __name__ == "__main__":
    main()

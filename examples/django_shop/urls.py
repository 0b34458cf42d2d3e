"""Where the views are."""

from __future__ import annotations

from django.urls import path

from django_shop import views

urlpatterns = [
    path("orders", views.order),
    path("orders/<int:number>", views.status),
    path("health", views.health),
]

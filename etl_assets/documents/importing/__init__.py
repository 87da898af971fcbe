"""Indexes made elsewhere, brought in as collections without embedding anything again."""

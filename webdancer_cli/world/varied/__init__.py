"""Worlds of many shapes: pages that vary along named axes, and questions over them with exact gold chains."""

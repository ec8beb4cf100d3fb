"""The bytes of images: upload, download, staging and import."""

"""Where logs lie: files, exports, a live topic, and what lies beside them."""

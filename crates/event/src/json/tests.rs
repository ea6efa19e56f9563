//! What the scanner accepts, against serde_json on the same bytes.

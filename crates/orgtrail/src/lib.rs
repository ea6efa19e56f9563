//! orgtrail

//! Reading and writing capture files.

//! Who may depend on whom, read from the use lines.

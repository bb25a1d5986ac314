//! The rule at its edges.

//! The desks among others, step by step: what clients see, and what becomes of a quorum device.

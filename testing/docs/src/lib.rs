//! The code of README.md and of `docs/`, compiled as the documentation tests of a crate that has nothing but
//! the facade at hand, as those who copy it do.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/PROCESSORS.md")]
struct Processors;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/MODELS.md")]
struct Models;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/FROM-PYTRICKLE.md")]
struct FromPyTrickle;

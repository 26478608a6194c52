//! Turns files and interfaces into frames.
//!
//! In:  paths, standard input, (live) interfaces.
//! Out: [`Chunk`]s of frames in time order, what each input was ([`InputFacts`]), and its damage.
//! Not: what is inside a frame.

mod chunk;

pub use chunk::Chunk;
pub use chunk::Frame;
pub use chunk::FrameHeader;
pub use chunk::LinkType;

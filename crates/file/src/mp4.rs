//! MP4 files (ISO/IEC 14496-12, 14496-14 and 14496-15), read and written. The boxes are mp4-atom's; what their tables mean,
//! and how a sample becomes an access unit and back, is here.

mod annexb;
mod description;
mod form;
mod parameter_sets;
mod reader;
mod sample_table;
mod timing;
mod track;
mod writer;

pub use reader::Mp4Reader;
pub(crate) use writer::Mp4Writer;

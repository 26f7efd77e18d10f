//! A file as the input of a stream. What kind of file it is, its content says, and not its name.

use std::path::Path;

use cutrickle_pipeline::ends::{Input, Source};
use cutrickle_ts::Reader;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::{Error, Mp4Reader, Progress, Result};

/// Bytes of a transport stream that are read at once.
const PIECE: usize = 256 << 10;
/// Bytes by which a file is told from one of another kind: a few transport packets.
const BEGINNING: u64 = 1_024;
/// The length of a transport packet, and the byte that it begins with (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// As many packets in a row are no accident.
const PROOF: usize = 3;

/// A file as the input of a stream: a transport stream or an MP4 file, with H.264 or H.265 and AAC or Opus.
///
/// Units are handed over as fast as the stream takes them, on one clock. Only a stream that loses nothing
/// ([`Queueing::Lossless`](cutrickle_pipeline::Queueing::Lossless)) makes it wait; any other drops most of the file. Of
/// several tracks of a kind the first one is taken. Pieces of the file are read as they are needed; of an MP4 file the
/// index is held in memory.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    content: Content,
    progress: Progress,
}

#[derive(Debug)]
enum Content {
    TransportStream(File),
    Mp4(Mp4Reader),
}

impl FileSource {
    /// Opens the file at `path`. The [`Progress`] tells how much of it the stream has taken.
    ///
    /// # Errors
    /// The file cannot be read, or its index is damaged. [`Error::is_unsupported`]: it is neither a transport stream nor an
    /// MP4 file, or an MP4 file in fragments or without a codec that is read here.
    pub async fn open(path: impl AsRef<Path>) -> Result<(Self, Progress)> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |e| Error::failed(&name).because(e);
        let mut file = File::open(path).await.map_err(failed)?;
        let metadata = file.metadata().await.map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::failed(name).because("a directory, not a file"));
        }
        let mut beginning = Vec::new();
        (&mut file).take(BEGINNING).read_to_end(&mut beginning).await.map_err(failed)?;
        file.rewind().await.map_err(failed)?;
        let (content, total) = if Mp4Reader::is_one(&beginning) {
            let mp4 = Mp4Reader::open(file, name.clone()).await?;
            let total = mp4.samples();
            (Content::Mp4(mp4), total)
        } else if is_transport_stream(&beginning) {
            (Content::TransportStream(file), metadata.len())
        } else {
            return Err(Error::unsupported(name).because("neither an MPEG transport stream nor an MP4 file"));
        };
        let progress = Progress::of(total);
        Ok((Self { name, content, progress: progress.clone() }, progress))
    }
}

impl Source for FileSource {
    async fn run(self, mut input: Input) -> cutrickle_pipeline::Result<()> {
        let Self { name, content, progress } = self;
        let read = match content {
            Content::TransportStream(file) => transport_stream(file, &mut input, &progress).await,
            Content::Mp4(mp4) => movie(mp4, &mut input, &progress).await,
        };
        Ok(read.map_err(|e| Error::failed(name).because(e))?)
    }
}

async fn transport_stream(mut file: File, input: &mut Input, progress: &Progress) -> std::io::Result<()> {
    let mut reader = Reader::stored();
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).await?;
        if count == 0 {
            reader.end_segment(input).await;
            return Ok(());
        }
        reader.push(piece.get(..count).unwrap_or_default(), input).await;
        progress.add(count as u64);
    }
}

async fn movie(mut mp4: Mp4Reader, input: &mut Input, progress: &Progress) -> std::io::Result<()> {
    input.tracks(mp4.tracks(), mp4.info().clone());
    while let Some(unit) = mp4.next().await? {
        input.received(unit.data.len());
        input.unit(unit).await;
        progress.add(1);
    }
    Ok(())
}

/// Whether packets begin at equal distances somewhere in `beginning`: a recording may start in the middle of one.
fn is_transport_stream(beginning: &[u8]) -> bool {
    let packets = (beginning.len() / PACKET).min(PROOF);
    packets > 0
        && (0..PACKET).any(|at| {
            let mut syncs = beginning.iter().skip(at).step_by(PACKET).take(packets);
            syncs.len() == packets && syncs.all(|byte| *byte == SYNC)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_stream_is_told_by_packets_at_equal_distances() {
        let mut packets = [0; 5 * PACKET];
        packets.iter_mut().step_by(PACKET).for_each(|byte| *byte = SYNC);
        assert!(is_transport_stream(&packets));
        assert!(is_transport_stream(&packets[100..]), "begun in the middle of a packet");
        assert!(is_transport_stream(&packets[..PACKET]), "no longer than one packet");
        packets[2 * PACKET] = 0;
        assert!(!is_transport_stream(&packets[..4 * PACKET]));
        assert!(!is_transport_stream(b"G"));
        assert!(!is_transport_stream(&[]));
        assert!(!is_transport_stream(&[b'#'; 1_024]));
    }
}

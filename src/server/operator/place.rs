//! The place of the operator's socket in the data folder, and who is at its other end.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
pub const SOCKET: &str = "operator.sock";

const MODE: u32 = 0o600;

/// The longest path of a socket, in bytes, without the NUL at its end. Some systems have fewer than Linux's 107.
const PATH_MAX: usize = 103;

/// The path of the socket in a folder, short enough for the system while this value exists.
struct Place {
    path: PathBuf,
    _folder: Option<File>,
}

impl Place {
    fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }

    /// What is there; `None` for nothing. Anything but a socket is refused.
    fn file(&self, folder: &Path) -> io::Result<Option<fs::Metadata>> {
        match fs::symlink_metadata(&self.path) {
            Ok(file) if file.file_type().is_socket() => Ok(Some(file)),
            Ok(_) => {
                let path = folder.join(SOCKET);
                let text = format!("{} is not a socket: move it away", path.display());
                Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A socket that listens. Dropping it removes its file.
pub struct Listening {
    pub listener: UnixListener,
    folder: PathBuf,
    /// The file's device and inode number.
    identity: (u64, u64),
}

impl Listening {
    /// Listens in a folder. A socket that an ended server left is replaced.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let folder = fs::canonicalize(folder)?;
        let place = Place::of(&folder)?;
        if place.file(&folder)?.is_some() {
            match UnixStream::connect(&place.path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(&place.path)?,
                Err(error) => return Err(error),
                Ok(_) => {
                    let path = folder.join(SOCKET);
                    let text = format!("another server answers at {}: stop that one", path.display());
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
                }
            }
        }
        let listener = UnixListener::bind(&place.path)?;
        let identity = fs::symlink_metadata(&place.path).map(|file| (file.dev(), file.ino()))?;
        let listening = Self { listener, folder, identity };
        // Until then the umask decides who may connect; but other users are refused in any case.
        fs::set_permissions(&place.path, Permissions::from_mode(MODE))?;
        listening.listener.set_nonblocking(true)?;
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let path = self.folder.join(SOCKET);
        // Not the socket of another server.
        let is_own = fs::symlink_metadata(&path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if is_own && let Err(error) = fs::remove_file(&path) {
            log::warn!("can't remove {}: {error}", path.display());
        }
    }
}

/// Connects to the server that uses a folder; `None` if none listens. The server must run as root, as this user, or as
/// the owner of the folder: another user could give out tokens of its own.
pub fn connect(folder: &Path) -> io::Result<Option<UnixStream>> {
    let owner = match fs::metadata(folder) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let place = Place::of(folder)?;
    if place.file(folder)?.is_none() {
        return Ok(None);
    }
    let stream = match UnixStream::connect(&place.path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let uid = peer_uid(&stream)?;
    if uid != owner && !is_trusted(uid) {
        let text = format!("its server runs as another user (uid {uid}) than the folder's owner (uid {owner})");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(Some(stream))
}

/// Whether a user may do what this process may do anyway: it is the same, or root.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// The user of the process at the other end, when it connected or began to listen.
#[cfg(target_os = "linux")]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the system writes at most `length` bytes to the structure.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast::<libc::c_void>(),
            &raw mut length,
        )
    };
    if result == 0 && length as usize == size_of::<libc::ucred>() {
        Ok(peer.uid)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The user of the process at the other end, when it connected or began to listen.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let (mut uid, mut gid) = (u32::MAX, u32::MAX);
    // SAFETY: the descriptor is open, and the system writes two numbers.
    let result = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut uid, &raw mut gid) };
    if result == 0 { Ok(uid) } else { Err(io::Error::last_os_error()) }
}

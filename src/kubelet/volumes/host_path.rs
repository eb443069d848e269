//! Checks or makes what a hostPath volume names.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;
use tokio::fs;

use super::VolumeError;

/// Holds a hostPath volume against its type, making what is to be made.
pub async fn check(volume: &str, host: &HostPathVolumeSource) -> Result<(), VolumeError> {
    let path = Path::new(&host.path);
    let kind = host.type_.as_deref().unwrap_or_default();
    let io = |error| VolumeError::io(volume, path)(error);
    let found = match fs::metadata(path).await {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(error)),
    };
    let fits = match (kind, found) {
        // Docker used to make what is missing, and pods rely on it.
        ("" | "DirectoryOrCreate", None) => {
            fs::create_dir_all(path).await.map_err(io)?;
            fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
                .await
                .map_err(io)?;
            true
        }
        ("FileOrCreate", None) => {
            fs::write(path, "").await.map_err(io)?;
            fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
                .await
                .map_err(io)?;
            true
        }
        ("", Some(_)) => true,
        ("DirectoryOrCreate" | "Directory", Some(found)) => found.is_dir(),
        ("FileOrCreate" | "File", Some(found)) => found.is_file(),
        ("Socket", Some(found)) => found.is_socket(),
        ("CharDevice", Some(found)) => found.is_char_device(),
        ("BlockDevice", Some(found)) => found.is_block_device(),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(VolumeError::source(
        volume,
        format!("hostPath type check failed: {} is not a {kind}", host.path),
    ))
}

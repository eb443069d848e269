//! What tests share: tools, servers, images, waiting.

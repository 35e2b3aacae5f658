/*-------------------------------------------------------------------------
 *
 * blob.h
 *	  Payloads too large to travel inline: uploaded and downloaded over
 *	  presigned URLs (BlobCreate, BlobGet).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_BLOB_H
#define MODAL_MODAL_BLOB_H

#include "modal/modal.h"

typedef struct BlobUpload BlobUpload;
typedef struct BlobDownload BlobDownload;

/* blob_id NULL: see error. */
typedef void (*BlobUploaded)(void *arg, const char *blob_id,
							 const ModalError *error);
/*
 * data NULL: see error; else it may be taken over.  Both NULL: may_hold did not
 * let it come.
 */
typedef void (*BlobDownloaded)(void *arg, Buf *data, const ModalError *error);

/* As RequestSpec's. */
typedef bool (*BlobMayHold)(void *arg, uint64_t bytes);

/* More of it has come, of so many bytes; it may come again from the start. */
typedef void (*BlobMore)(void *arg, const Buf *body, uint64_t length);

/* The bytes must stay until the end.  NULL: no memory, on_done is not called. */
extern BlobUpload *blob_upload(ModalTarget *mt, DispatchCall *call,
							   const void *p, size_t n, BlobUploaded on_done,
							   void *arg);
extern void blob_upload_cancel(BlobUpload *upload);
extern BlobDownload *blob_download(ModalTarget *mt, DispatchCall *call,
								   Slice blob_id, BlobMayHold may_hold,
								   BlobMore on_more, BlobDownloaded on_done,
								   void *arg);
extern void blob_download_cancel(BlobDownload *download);

/* --- for both --------------------------------------------------------------- */

extern void blob_count_traffic(DispatchCall *call, const Response *response);
/* Set the timer for another try after this response; false: no more. */
extern bool blob_try_again(Retry *retry, const RetryPolicy *policy,
						   Timer *timer, const Response *response);
/* What no other try would mend is for somebody else to mend: who, and how. */
extern void blob_error_final(ModalError *error, const Response *response);

#endif /* MODAL_MODAL_BLOB_H */

/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Protobuf messages as text, for the request log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_TEXT_H
#define MODAL_LOCAL_TEXT_H

#include <protobuf-c/protobuf-c.h>

#include "core/buf.h"

/*
 * The fields that are set, as {name:value,name:{...}}; repeated ones appear
 * repeatedly.  Bytes are left out, and in text what would break a line.
 */
extern void message_to_text(Buf *out, const ProtobufCMessage *message);

#endif /* MODAL_LOCAL_TEXT_H */

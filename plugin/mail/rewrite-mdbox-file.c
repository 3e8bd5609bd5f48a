/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "array.h"
#include "fdatasync-path.h"
#include "istream.h"
#include "ostream.h"
#include "rewrite-mdbox-private.h"

#include <unistd.h>

/* One file of mdbox, as doveadm purge does it: its messages are written to new
   files, the map is told in one step, and the old file goes. Purging and saving
   lock the file as well. New files alone are written to, so that a killed
   process leaves nothing at the end of another file. */

/* While others append to the file. */
#define LOCK_TRIES 100
#define LOCK_WAIT_USECS (20 * 1000)

struct file_msg {
	struct mdbox_map_file_msg msg;
	/* It is to have a new form, not to be copied as it is. */
	bool change;
};

struct file_rewrite {
	struct mdbox_rewrite *rewrite;
	struct rewrite_context *ctx;
	struct dbox_file *file;
	uint32_t file_id;
	ARRAY(struct file_msg) msgs;

	struct mdbox_journal journal;
	struct mdbox_map_atomic_context *atomic;
	struct mdbox_map_append_context *append;
	/* Where the next message goes if it fits. */
	struct dbox_file *out_file;
	uoff_t out_size;
	ARRAY_TYPE(uint32_t) copied_map_uids;
	ARRAY_TYPE(seq_range) expunged_map_uids;

	unsigned int done;
	uint64_t done_bytes;
	const char *error;
};

static int file_fail(struct file_rewrite *fr, const char *error)
{
	if (fr->error == NULL) {
		fr->error = error != NULL ? error :
			mailbox_get_last_internal_error(fr->ctx->box, NULL);
	}
	return -1;
}

/* Returns 1 if locked, 0 if others keep it or have removed it, -1 if failed. */
static int lock_file(struct file_rewrite *fr)
{
	struct stat st;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < LOCK_TRIES && ret == 0; i++) {
		if (i > 0)
			usleep(LOCK_WAIT_USECS);
		ret = dbox_file_try_lock(fr->file);
		/* Removed: then a new lock won't come. */
		if (ret >= 0 && stat(fr->file->cur_path, &st) < 0)
			return 0;
	}
	return ret < 0 ? file_fail(fr, NULL) : ret;
}

static int file_msg_cmp(const struct file_msg *a, const struct file_msg *b)
{
	return a->msg.offset < b->msg.offset ? -1 :
		a->msg.offset > b->msg.offset ? 1 : 0;
}

static int get_msgs(struct file_rewrite *fr)
{
	ARRAY_TYPE(mdbox_map_file_msg) msgs;
	const struct mdbox_map_file_msg *msg;
	struct file_msg *dest;

	i_array_init(&msgs, 64);
	if (mdbox_map_get_file_msgs(fr->rewrite->storage->map, fr->file_id,
				    &msgs) < 0) {
		array_free(&msgs);
		return file_fail(fr, NULL);
	}
	array_foreach(&msgs, msg) {
		dest = array_append_space(&fr->msgs);
		dest->msg = *msg;
	}
	array_free(&msgs);
	array_sort(&fr->msgs, file_msg_cmp);
	return 0;
}

static struct istream *msg_input(struct file_rewrite *fr)
{
	i_stream_seek(fr->file->input, fr->file->cur_offset +
		      fr->file->msg_header_size);
	return i_stream_create_limit(fr->file->input,
				     fr->file->cur_physical_size);
}

/* Decide before anything is written: the new file can't be changed any more
   once a message has turned out to be damaged. */
static bool can_change(struct file_rewrite *fr, const struct file_msg *msg)
{
	struct istream *input = msg_input(fr);
	struct rewrite_form form;
	enum rewrite_result result;
	const char *error;

	result = rewrite_form_init(fr->ctx, &form, input,
				   fr->file->cur_physical_size, &error);
	if (result == REWRITE_WANTED) {
		result = rewrite_form_verify(&form, &error);
		rewrite_form_deinit(&form);
	}
	i_stream_unref(&input);
	if (result == REWRITE_DAMAGED || result == REWRITE_FAILED) {
		seq_range_array_add(&fr->rewrite->damaged_map_uids,
				    msg->msg.map_uid);
	}
	return result == REWRITE_WANTED;
}

/* Go to a message, which begins where the one before it ended. */
static int seek_msg(struct file_rewrite *fr, const struct file_msg *msg,
		    uoff_t offset)
{
	int ret;

	if (msg->msg.offset != offset) {
		return file_fail(fr, "the file doesn't hold what the map says: "
				 "run doveadm force-resync");
	}
	ret = dbox_file_seek(fr->file, offset);
	return ret > 0 ? 0 : file_fail(fr, NULL);
}

static int end_of_msg(struct file_rewrite *fr, uoff_t *offset_r)
{
	/* What it has read of the metadata is read again. */
	fr->file->metadata_read_offset = UOFF_T_MAX;
	if (dbox_file_metadata_read(fr->file) <= 0)
		return file_fail(fr, NULL);
	*offset_r = fr->file->input->v_offset;
	return 0;
}

/* Returns 1 if there is a message to change, 0 if not, -1 if failed. */
static int examine_msgs(struct file_rewrite *fr)
{
	uoff_t offset = fr->file->file_header_size;
	struct file_msg *msg;
	struct stat st;
	int ret = 0;

	array_foreach_modifiable(&fr->msgs, msg) {
		if (seek_msg(fr, msg, offset) < 0)
			return -1;
		T_BEGIN {
			if (msg->msg.refcount > 0)
				msg->change = can_change(fr, msg);
		} T_END;
		if (msg->change)
			ret = 1;
		if (end_of_msg(fr, &offset) < 0)
			return -1;
	}
	if (ret > 0 && (fstat(fr->file->fd, &st) < 0 ||
			(uoff_t)st.st_size != offset)) {
		return file_fail(fr, "the file has more messages than the map: "
				 "run doveadm force-resync");
	}
	return ret;
}

static int
next_output(struct file_rewrite *fr, uoff_t size, struct ostream **output_r)
{
	struct dbox_file_append_context *out;
	uoff_t max_size = fr->rewrite->storage->set->mdbox_rotate_size;
	uoff_t ask_size = size;
	const char *error;

	/* This makes it open a new file instead of adding to any other. */
	if (fr->out_file == NULL || fr->out_size + size > max_size)
		ask_size = I_MAX(size, max_size) + 1;
	if (mdbox_map_append_next(fr->append, ask_size,
			dbox_file_is_in_alt(fr->file) ?
			DBOX_MAP_APPEND_FLAG_ALT : 0, &out, output_r) < 0)
		return file_fail(fr, NULL);
	if (out->file == fr->out_file)
		return 0;
	i_assert(((struct mdbox_file *)out->file)->file_id == 0);
	fr->out_file = out->file;
	return mdbox_journal_add_temp(&fr->journal, out->file->cur_path,
				      &error) < 0 ? file_fail(fr, error) : 0;
}

static int
copy_msg(struct file_rewrite *fr, struct istream *input, uoff_t *size_r)
{
	uoff_t size = fr->file->cur_physical_size;
	struct ostream *output;

	*size_r = size;
	if (next_output(fr, size, &output) < 0)
		return -1;
	rewrite_dbox_send_header(output, size);
	if (o_stream_send_istream(output, input) !=
	    OSTREAM_SEND_ISTREAM_RESULT_FINISHED || input->v_offset != size)
		return file_fail(fr, "a message of it can't be copied");
	return 0;
}

static int
send_form(struct file_rewrite *fr, struct rewrite_form *form)
{
	struct ostream *output;
	const char *error;
	uoff_t offset;

	if (next_output(fr, form->size, &output) < 0)
		return -1;
	rewrite_dbox_send_header(output, form->size);
	offset = output->offset;
	if (rewrite_form_send(form, output, &error) != REWRITE_DONE ||
	    o_stream_flush(output) < 0 ||
	    rewrite_form_check(form, fr->out_file->fd, offset, &error) < 0)
		return file_fail(fr, error);
	return 0;
}

static int
change_msg(struct file_rewrite *fr, struct istream *input, uoff_t *size_r)
{
	struct rewrite_form form;
	const char *error;
	int ret;

	if (rewrite_form_init(fr->ctx, &form, input,
			      fr->file->cur_physical_size,
			      &error) != REWRITE_WANTED)
		return file_fail(fr, error);
	ret = send_form(fr, &form);
	*size_r = form.size;
	rewrite_form_deinit(&form);
	fr->done++;
	fr->done_bytes += *size_r;
	return ret;
}

static int write_msg(struct file_rewrite *fr, const struct file_msg *msg)
{
	struct mdbox_map_append *append;
	struct istream *input;
	const char *error;
	uoff_t size;
	int ret;

	if (seek_msg(fr, msg, msg->msg.offset) < 0)
		return -1;
	input = msg_input(fr);
	ret = msg->change ? change_msg(fr, input, &size) :
		copy_msg(fr, input, &size);
	i_stream_unref(&input);
	if (ret < 0)
		return -1;
	append = array_back_modifiable(&fr->append->appends);
	if (rewrite_dbox_send_metadata(fr->file, append->file_append->output,
				       size, &error) < 0)
		return file_fail(fr, error);
	fr->out_size = append->file_append->output->offset;
	mdbox_map_append_finish(fr->append);
	array_push_back(&fr->copied_map_uids, &msg->msg.map_uid);
	return 0;
}

static int write_msgs(struct file_rewrite *fr)
{
	const struct file_msg *msg;
	int ret = 0;

	array_foreach(&fr->msgs, msg) {
		if (msg->msg.refcount == 0) {
			seq_range_array_add(&fr->expunged_map_uids,
					    msg->msg.map_uid);
			continue;
		}
		T_BEGIN {
			ret = write_msg(fr, msg);
		} T_END;
		if (ret < 0)
			return -1;
	}
	return mdbox_map_append_flush(fr->append) < 0 ?
		file_fail(fr, NULL) : 0;
}

/* Messages that had no reference may have been copied meanwhile. Returns 1 if
   all is as it was, 0 if not. */
static int check_refcounts(struct file_rewrite *fr)
{
	struct mdbox_map_atomic_context *atomic = fr->atomic;
	struct dbox_mail_lookup_rec rec;
	const struct file_msg *msg;
	uint32_t seq;

	array_foreach(&fr->msgs, msg) {
		if (!mail_index_lookup_seq(atomic->sync_view, msg->msg.map_uid,
					   &seq))
			return 0;
		if (mdbox_map_view_lookup_rec(atomic->map, atomic->sync_view,
					      seq, &rec) < 0)
			return file_fail(fr, NULL);
		if (rec.rec.file_id != fr->file_id ||
		    rec.rec.offset != msg->msg.offset ||
		    (msg->msg.refcount == 0) != (rec.refcount == 0))
			return 0;
	}
	return 1;
}

/* The new files have their numbers: make these names durable. */
static int sync_new_dirs(struct file_rewrite *fr, const char **error_r)
{
	struct dbox_file *file;
	const char *path;

	array_foreach_elem(&fr->append->files, file) {
		path = file->cur_path;
		if (rewrite_sync_dir(t_strdup_until(path, strrchr(path, '/')),
				     error_r) < 0)
			return -1;
	}
	return 0;
}

/* Returns 1 if the map is ready to be committed, 0 if not now, -1 if failed. */
static int move_msgs(struct file_rewrite *fr)
{
	const char *error;
	int ret;

	if (mdbox_map_atomic_lock(fr->atomic, "mail_seal: rewriting") < 0)
		return file_fail(fr, NULL);
	if ((ret = check_refcounts(fr)) <= 0)
		return ret;
	if (mdbox_journal_add_new(&fr->journal,
				  mdbox_highest_file_id(fr->atomic) + 1,
				  &error) < 0)
		return file_fail(fr, error);
	if (mdbox_map_append_move(fr->append, &fr->copied_map_uids,
				  &fr->expunged_map_uids) < 0)
		return file_fail(fr, NULL);
	if (sync_new_dirs(fr, &error) < 0)
		return file_fail(fr, error);
	if (mdbox_map_append_commit(fr->append) < 0)
		return file_fail(fr, NULL);
	return 1;
}

/* The old file goes only when the map that doesn't need it is durable. */
static int remove_old(struct file_rewrite *fr)
{
	struct mdbox_map *map = fr->rewrite->storage->map;
	const char *path = t_strconcat(map->index->filepath, ".log", NULL);

	if (fdatasync_path(path) < 0) {
		return file_fail(fr, t_strdup_printf("fdatasync(%s) failed: %m",
						     path));
	}
	return dbox_file_unlink(fr->file) < 0 ? file_fail(fr, NULL) : 0;
}

static int rewrite_msgs(struct file_rewrite *fr)
{
	int ret;

	fr->atomic = mdbox_map_atomic_begin(fr->rewrite->storage->map);
	fr->append = mdbox_map_append_begin(fr->atomic);
	ret = write_msgs(fr);
	if (ret == 0)
		ret = move_msgs(fr);
	mdbox_map_append_free(&fr->append);
	if (mdbox_map_atomic_finish(&fr->atomic) < 0 && ret > 0)
		ret = file_fail(fr, NULL);
	return ret <= 0 ? ret : remove_old(fr) < 0 ? -1 : 1;
}

static int rewrite_locked(struct file_rewrite *fr)
{
	const char *error;
	int ret;

	if (get_msgs(fr) < 0)
		return -1;
	if ((ret = examine_msgs(fr)) <= 0)
		return ret;
	ret = mdbox_journal_begin(fr->ctx, fr->rewrite->storage, fr->file_id,
				  &fr->journal, &error);
	if (ret <= 0)
		return ret < 0 ? file_fail(fr, error) : 0;
	ret = rewrite_msgs(fr);
	mdbox_journal_end(&fr->journal);
	return ret;
}

static int rewrite_open_file(struct file_rewrite *fr)
{
	bool deleted;
	int ret = dbox_file_open(fr->file, &deleted);

	if (ret <= 0)
		return file_fail(fr, NULL);
	if (deleted)
		return 0;
	ret = lock_file(fr);
	if (ret > 0)
		ret = rewrite_locked(fr);
	dbox_file_unlock(fr->file);
	return ret;
}

int rewrite_mdbox_file(struct mdbox_rewrite *rewrite, uint32_t file_id)
{
	struct file_rewrite fr = {
		.rewrite = rewrite,
		.ctx = rewrite->ctx,
		.file_id = file_id,
		.file = mdbox_file_init(rewrite->storage, file_id),
	};
	int ret;

	i_array_init(&fr.msgs, 64);
	i_array_init(&fr.copied_map_uids, 64);
	i_array_init(&fr.expunged_map_uids, 16);
	ret = rewrite_open_file(&fr);
	if (ret > 0) {
		rewrite->ctx->counts->done += fr.done;
		rewrite->ctx->counts->done_bytes += fr.done_bytes;
	}
	rewrite->error = fr.error;
	array_free(&fr.expunged_map_uids);
	array_free(&fr.copied_map_uids);
	array_free(&fr.msgs);
	dbox_file_unref(&fr.file);
	return ret;
}

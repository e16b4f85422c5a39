"""The way of one instance: examined, judged by what is known of its UID, made durable, indexed."""

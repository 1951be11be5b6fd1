"""cnncore"""
